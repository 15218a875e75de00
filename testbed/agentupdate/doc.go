// Package agentupdate updates the real agent's own program: killed at each step, within little memory, and on other processors.
package agentupdate
