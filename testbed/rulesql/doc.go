// Package rulesql holds the rule language to the results of a database: where the two languages are the same, SQLite and
// protocol/rulesql must agree. It has no code of its own to import.
package rulesql
