// Package schema knows which documents and fields each Talos version has, and lints patches and configs against it:
// the machinery library accepts what is too new for a node. It is pure data and its reading.
//
// talos.txt.gz comes from tools/configschema, which reads what every release decodes from its Go sources. Types and
// values are checked by the decoders of the machinery library itself, as far as they take a single value.
package schema
