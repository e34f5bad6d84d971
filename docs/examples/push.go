package main

import (
	"io"
	"log"
	"net/http"
	"os"
	"strings"
)

func main() {
	message := `{"to":{"userId":` + os.Args[1] + `},"type":"note","data":{"text":"hello"}}`
	request, _ := http.NewRequest("POST", os.Getenv("GATEWAY_URL")+"/api/messages", strings.NewReader(message))
	request.Header.Set("Authorization", "Bearer "+os.Getenv("LINGXI_API_KEY"))
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		log.Fatal(err)
	}
	io.Copy(os.Stdout, answer.Body)
	if answer.StatusCode != 200 {
		os.Exit(1)
	}
}
