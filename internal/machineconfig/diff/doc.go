// Package diff says what differs between two machine configs, per document and field, without secrets, and whether a
// node takes the change without a reboot.
//
//	d, err := diff.Compare(running, desired, key)  // what differs
//	v, err := diff.Apply(d, "v1.13.9")             // what a node of that version does with it
//	fmt.Print(diff.Text(d, v))                     // for people
//
// It compares meaning: comments, the order of keys and documents, spelling ("60s", "1m0s") and values that Talos takes
// when nothing is written make no difference, nor does the order of lists in which Talos sees none. What each field
// is comes from the types of the machinery library; a document or field which the library does not know is compared
// as plain YAML. Secrets never leave the package: a changed one is said to have changed. It does no I/O.
package diff
