package api

// A door for the tests of this package.
var JoinLate = joinLate
