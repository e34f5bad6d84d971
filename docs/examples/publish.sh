# Pushes a note to the user $1 through the Redis at $REDIS_URL: at most once, and without an answer.
redis-cli -u "$REDIS_URL" PUBLISH lingxi:push \
  '{"to":{"userId":'"$1"'},"type":"note","data":{"text":"hello"}}'
