"""The Kubernetes API over plain HTTP: login, REST, list and watch, lease; objects become projected Structs."""
