// Package schema knows which documents and fields each Talos version has, and lints patches and configs against it:
// the machinery library accepts what is too new for a node. It is pure data and its reading.
package schema
