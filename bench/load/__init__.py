"""Load as callers make it: live streams and files through the proxy with Deepgram's SDK, each answer compared."""
