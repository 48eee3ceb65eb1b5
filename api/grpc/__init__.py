"""gRPC: a translation of the REST routes' functions and of the hub's channels. Needs the extra `grpc`."""
