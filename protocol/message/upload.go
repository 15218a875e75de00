package message

import "unicode"

// The methods of an upload session, see UploadRequest.
const (
	UploadInit     = "init"     // begin a session, or find the one of the same key
	UploadStatus   = "status"   // what of it is stored
	UploadParts    = "parts"    // URLs for parts
	UploadComplete = "complete" // all of it is sent: check it and list it
	UploadAbort    = "abort"    // forget it
)

// The states of an upload session.
const (
	UploadOpen     = "open"     // parts are awaited
	UploadChecking = "checking" // complete was asked for, and the whole is being read; ask again
	UploadDone     = "done"     // the file is listed
)

// UploadRequest is what a device asks of an upload session, over MQTT on upload/upstream or over HTTP as the body of POST /upload. Digests are hex.
//
//	init      FileName, FileSize, SHA256; Class, Content-Type, Key, PartSize, Parts as wanted
//	parts     UploadID, Parts: No and SHA256 of each that a URL is wanted for, at most MaxUploadParts
//	the rest  UploadID
type UploadRequest struct {
	RequestID   RequestID    `json:"RequestID,omitempty"`
	Method      string       `json:"Method"`
	UploadID    string       `json:"UploadID,omitempty"`
	FileName    string       `json:"FileName,omitempty"`
	FileSize    int64        `json:"FileSize,omitempty"`
	SHA256      string       `json:"SHA256,omitempty"`
	Class       string       `json:"Class,omitempty"`
	ContentType string       `json:"Content-Type,omitempty"`
	Key         string       `json:"Key,omitempty"`      // resume key: the same one finds the session again; empty is the digest
	PartSize    int64        `json:"PartSize,omitempty"` // bytes, a wish
	Parts       []UploadPart `json:"Parts,omitempty"`
}

// UploadPart is one part of a file, numbered from 1. A request has its digest, an answer where to PUT it with which headers.
type UploadPart struct {
	No     int               `json:"No"`
	SHA256 string            `json:"SHA256,omitempty"`
	URL    string            `json:"URL,omitempty"`
	Header map[string]string `json:"Header,omitempty"`
}

// UploadReply answers an UploadRequest: the state of the session after it.
type UploadReply struct {
	RequestID RequestID `json:"RequestID,omitempty"`
	RetCode   Code      `json:"RetCode"`
	Method    string    `json:"Method,omitempty"`
	UploadID  string    `json:"UploadID,omitempty"`
	State     string    `json:"State,omitempty"`
	FileID    string    `json:"FileID,omitempty"` // when it is done
	PartSize  int64     `json:"PartSize,omitempty"`
	// Stored are the parts that are there, as first and last of each run.
	Stored [][2]int `json:"Stored,omitempty"`
	// Offset is up to where the file is there without a gap, bytes: where the relay goes on.
	Offset   int64        `json:"Offset"`
	RelayURL string       `json:"RelayURL,omitempty"`
	Parts    []UploadPart `json:"Parts,omitempty"`
	Until    int64        `json:"Until,omitempty"` // ms: when the session ends unless it makes progress
	Message  string       `json:"Message,omitempty"`
}

// The sizes of the protocol, bytes.
const (
	UploadPartMin   = 5 << 20
	UploadPartMax   = 64 << 20
	MaxUploadParts  = 16        // in one request
	UploadPartsMost = 10_000    // of a file
	UploadPatch     = 256 << 10 // what our SDK sends at a time by the relay
	UploadPatchMax  = 1 << 20   // what the relay takes at a time
)

// HiddenRune tells of what the name of a file may not have, because a terminal or a browser acts upon it instead of showing it: controls, line
// separators, what turns the direction of text, and what stands for bytes that are no text.
func HiddenRune(c rune) bool {
	switch c {
	case unicode.ReplacementChar, '\u061C', '\u200E', '\u200F', '\u2028', '\u2029':
		return true
	}
	return unicode.IsControl(c) || c >= '\u202A' && c <= '\u202E' || c >= '\u2066' && c <= '\u2069'
}

// ClassDiagnosis is the class of a bundle that the hub has asked an agent for. It is taken whatever classes a product's policy names.
const ClassDiagnosis = "diagnosis"
