// Package recipe is the catalogue of patches for common needs: documented, with parameters, in the form each Talos
// version wants, together with what belongs into the schematic and what is left to do.
//
// A recipe is one file in recipes/: what it is for, its traps, its parameters, and templates for the ranges of Talos
// versions. Parameters are checked before anything is made of them, and are written into patches as quoted scalars
// only, so that no value can change a patch's structure. What a recipe cannot do on a version it refuses, with the
// version that can. It does no I/O.
package recipe
