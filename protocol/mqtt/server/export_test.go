package server

// Match is match for tests.
var Match = match
