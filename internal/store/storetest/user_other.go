//go:build !unix

package storetest

import "os/exec"

func detach(*exec.Cmd) {}

func dropRoot(*exec.Cmd) {}

func ownDirectory(string) error { return nil }
