"""What integration tests are made of: a whole proxy, scripted upstreams and clients, all over real sockets."""
