// Package api has the types of openapi.yaml and the stable codes of problems, for
// the server and for clients. api.gen.go is generated; see generate.sh.
package api
