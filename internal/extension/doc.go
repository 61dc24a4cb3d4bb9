// Package extension lays out, checks and builds Talos system extensions, above all those that carry an extension
// service: a privileged container that Talos itself runs, before and beside Kubernetes.
//
// An extension is a folder:
//
//	manifest.yaml                                    name, version, author, description, which Talos it is for
//	rootfs/usr/local/etc/containers/NAME.yaml        the service: what to run, after what, with which mounts
//	rootfs/usr/local/lib/containers/NAME/…           the root file system of its container
//	rootfs-amd64/…, rootfs-arm64/…                   what only one architecture gets, on top of rootfs
//
// Init makes such a folder, Lint reads it and says everything that keeps Talos from taking it or the service from
// starting, by file, line and field; Build makes images of it, of which the same folder always gives the same bytes,
// and Images.Write and Images.Push hand them on.
//
// What is allowed is Talos' own to say: its types, its loader and its validation (machinery's packages extensions and
// extensions/services) have the last word; the checks here come before them, because Talos stops at its first error,
// names no lines, ignores fields that it does not know, and logs what is wrong with a service only on the machine.
// This package compiles nothing and fetches nothing: the programs of an extension come from elsewhere.
package extension
