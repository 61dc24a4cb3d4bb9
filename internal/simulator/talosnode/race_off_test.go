//go:build !race

package talosnode_test

const slower = 1
