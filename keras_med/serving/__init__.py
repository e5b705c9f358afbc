"""An exported model answers on this machine's own address: files in, predictions and pictures of heat out."""
