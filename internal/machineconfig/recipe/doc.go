// Package recipe is the catalogue of patches for common needs: documented, with parameters, in the form each Talos
// version wants.
package recipe
