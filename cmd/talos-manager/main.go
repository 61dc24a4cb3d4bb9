// Command talos-manager turns rented servers into healthy Talos Linux clusters: the manager itself (serve, demo) and
// the commands that talk to one.
package main

import (
	"os"

	"github.com/talos-manager/talos-manager/internal/cli"
)

func main() {
	os.Exit(cli.Run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
