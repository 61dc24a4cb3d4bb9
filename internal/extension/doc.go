// Package extension lays out, checks and builds Talos system extensions that carry an extension service.
package extension
