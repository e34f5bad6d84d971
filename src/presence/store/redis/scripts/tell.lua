-- tell: sends one frame to another node. Rule DL7.
-- ARGV[6] node   ARGV[7] members of the frame, as JSON text
-- Answers 1 if that node listens, otherwise 0.

return post(ARGV[6], ARGV[7])
