// Package provision installs the real agent with the real hawserctl over a real SSH server, into a folder, and sees it come online at a real hub.
package provision
