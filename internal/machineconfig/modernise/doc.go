// Package modernise rewrites patches of older Talos versions into what a given version wants, and proves that the
// result means the same, or says what differs.
package modernise
