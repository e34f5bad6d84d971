import json, os, sys, urllib.request

message = {"to": {"userId": int(sys.argv[1])}, "type": "note", "data": {"text": "hello"}}
request = urllib.request.Request(
    os.environ["GATEWAY_URL"] + "/api/messages",
    data=json.dumps(message).encode(),
    headers={"Authorization": "Bearer " + os.environ["LINGXI_API_KEY"]},
)
with urllib.request.urlopen(request, timeout=5) as answer:
    print(answer.read().decode())
