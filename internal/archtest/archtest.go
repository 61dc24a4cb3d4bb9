// Package archtest holds the code to the map of ARCHITECTURE.md and to its budgets: who may import whom, how long
// files and functions may be, which calls belong into one package only. If a test here fails, either the code is a
// mistake, or the map and ARCHITECTURE.md change in the same commit, with the reason in its message.
package archtest
