"""Records venues' websocket frames to capture files, without Redis or a database."""
