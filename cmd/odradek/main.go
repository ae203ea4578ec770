// Command odradek is the operator's command line. It asks the engine's HTTP API.
package main

import (
	"context"
	"os"
)

func main() {
	os.Exit(newApp().run(context.Background(), os.Args[1:]))
}
