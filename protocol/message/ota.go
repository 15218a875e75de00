package message

import (
	"fmt"

	"github.com/hawser-iot/hawser/protocol/codec"
)

// The methods of ota/upstream: what a device says. Those that a stock device knows too have an S behind them.
const (
	OTAReportVersion     = "report_version"     // S OTAVersion
	OTARequestFirmware   = "request_firmware"   // S OTAVersion
	OTAReportProgress    = "report_progress"    // S OTAProgress, or OTAStockProgress
	OTAReportSuccess     = "report_success"     // S OTAVersion
	OTAReportFail        = "report_fail"        // S OTAStockFail
	OTARequestAssignment = "request_assignment" // OTAQuestion
	OTAAttest            = "attest"             // OTABytes
)

// The methods of ota/downstream: what a hub says.
const (
	OTAUpdateFirmware    = "update_firmware"    // S OTAStockOffer
	OTACancelUpdate      = "cancel_update"      // S OTACancel
	OTAOfferFirmware     = "offer_firmware"     // OTAOffer
	OTARootUpdate        = "root_update"        // OTABytes
	OTAAssignment        = "assignment"         // OTABytes
	OTAAssignmentRefused = "assignment_refused" // OTARefused
	OTAAttested          = "attested"           // OTADeployment
)

// OTAVersion is what a device runs of a module. Manifest says that it verifies manifests; the fields behind it are then its own state: the
// digest of the booted image (the base of deltas), the sequence number that it has confirmed and the version of the root document that it trusts.
type OTAVersion struct {
	Module   string `json:"Module"`
	Version  string `json:"Version"`
	Manifest bool   `json:"Manifest,omitempty"`
	Image    []byte `json:"Image,omitempty"`
	Sequence uint64 `json:"Sequence,omitempty"`
	Root     uint64 `json:"Root,omitempty"`
}

// OTAOffer is a release that a device may ask for. Digest is that of its manifest, Size the sum of its images.
type OTAOffer struct {
	Deployment  string `json:"Deployment"`
	Attempt     int    `json:"Attempt"`
	Module      string `json:"Module"`
	Version     string `json:"Version"`
	Digest      []byte `json:"Digest"`
	ManifestURL string `json:"ManifestURL"`
	Size        int64  `json:"Size"`
}

// OTAQuestion asks for the assignment of an offered release.
type OTAQuestion struct {
	Deployment string `json:"Deployment"`
	Module     string `json:"Module"`
	Digest     []byte `json:"Digest"`
	Nonce      []byte `json:"Nonce"`
	Root       uint64 `json:"Root"`
}

// OTABytes is a signed document: an assignment, a root, an attestation. A root belongs to no deployment. Consent is of an assignment: the device
// begins when its owner has agreed.
type OTABytes struct {
	Deployment string `json:"Deployment,omitempty"`
	Bytes      []byte `json:"Bytes"`
	Consent    bool   `json:"Consent,omitempty"`
}

// OTARefused says why there is no assignment.
type OTARefused struct {
	Deployment string `json:"Deployment"`
	Reason     string `json:"Reason"`
}

// OTADeployment names a deployment.
type OTADeployment struct {
	Deployment string `json:"Deployment"`
}

// OTAProgress is how far a device is with a deployment. A report whose (Attempt, Step) is not newer than one before says nothing new.
type OTAProgress struct {
	Module     string `json:"Module"`
	Deployment string `json:"Deployment"`
	Attempt    int    `json:"Attempt"`
	Step       int64  `json:"Step"`
	State      string `json:"State"`
	Permille   int    `json:"Permille"`
	Class      string `json:"Class"`
	Bytes      int64  `json:"Bytes"` // downloaded so far
}

// OTACancel calls an update off. Deployment is empty for stock updates.
type OTACancel struct {
	Module     string `json:"Module"`
	Version    string `json:"Version"`
	Deployment string `json:"Deployment,omitempty"`
}

// OTAStockOffer is firmware as stock devices are offered it: a URL and an MD5.
type OTAStockOffer struct {
	Module  string `json:"Module"`
	Version string `json:"Version"`
	URL     string `json:"URL"`
	MD5     string `json:"MD5"`
	Size    int64  `json:"Size"`
}

// OTAStockProgress is the progress of a stock update: downloading or burning.
type OTAStockProgress struct {
	Module  string `json:"Module"`
	State   string `json:"State"`
	Percent int    `json:"Percent"`
}

// OTAStockFail ends a stock update.
type OTAStockFail struct {
	Module  string `json:"Module"`
	ErrCode int    `json:"ErrCode"`
}

type otaMessage[T any] struct {
	Method  string `json:"Method"`
	Payload T      `json:"Payload"`
}

// EncodeOTA is a message of ota/upstream or ota/downstream.
func EncodeOTA[T any](f codec.Format, method string, payload T) ([]byte, error) {
	return codec.Marshal(f, otaMessage[T]{method, payload})
}

// OTAMethod is the method of a message.
func OTAMethod(b []byte) (string, error) {
	m, err := decodeOTA[struct{}](b)
	return m.Method, err
}

// DecodeOTA is the payload of a message, whatever its method is. Unknown fields are ignored.
func DecodeOTA[T any](b []byte) (T, error) {
	m, err := decodeOTA[T](b)
	return m.Payload, err
}

func decodeOTA[T any](b []byte) (m otaMessage[T], err error) {
	if err := codec.Unmarshal(b, &m); err != nil {
		return m, fmt.Errorf("OTA message: %w", err)
	}
	return m, nil
}
