// Package arch holds the house to its plan: its tests read the import graph of
// the module and fail when a package imports upward, when two domain packages
// meet, when a driver is imported outside the package that owns it, or when a
// package has no doc comment. It has no code of its own to import.
package arch
