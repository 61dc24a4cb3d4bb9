// Command talos-manager turns rented servers into healthy Talos Linux clusters: the manager itself (serve, demo) and
// the commands that talk to one.
package main

import (
	"os"

	"github.com/talos-manager/talos-manager/internal/cli"
)

// version is set by the linker (-X main.version=v1.2.3); empty: what the toolchain stamped into the binary.
var version string

func main() {
	os.Exit(cli.Run(version, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
