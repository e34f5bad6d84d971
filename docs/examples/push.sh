# Pushes a note to the user $1 by the server at $GATEWAY_URL, with its service key in $LINGXI_API_KEY.
curl -sS --fail --max-time 5 "$GATEWAY_URL/api/messages" \
  -H "Authorization: Bearer $LINGXI_API_KEY" \
  -d '{"to":{"userId":'"$1"'},"type":"note","data":{"text":"hello"}}'
