package ota

// OpenMedium is how the paths of modules are opened where Config.Open is nil.
var OpenMedium = openMedium
