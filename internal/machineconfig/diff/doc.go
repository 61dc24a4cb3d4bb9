// Package diff says what differs between two machine configs, per document and field, without secrets, and whether a
// node takes the change without a reboot.
package diff
