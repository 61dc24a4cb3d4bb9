// Package modernise rewrites patches of older Talos versions into what a given version wants, and proves that the
// result means the same, or says what differs.
//
//	text -> documents or operations (text, operations) -> rules, one for each old field (rules and what it lists)
//	     -> new documents, lost comments at the top (output) -> both applied and compared (proof, base, view, effect)
//
// It touches nothing that the version takes as it is, unless asked for all that is deprecated; keeps comments and
// ${variables}; and never drops a value without a note. It refuses text that is no patch, but no patch that is wrong:
// that is the lint's work. It does no I/O.
package modernise
