package api

import (
	"context"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"strconv"

	"github.com/hawser-iot/hawser/cloud/apitype"
	"github.com/hawser-iot/hawser/cloud/ota"
	"github.com/hawser-iot/hawser/cloud/ota/artifact"
	"github.com/hawser-iot/hawser/cloud/registry/filter/listing"
	"github.com/hawser-iot/hawser/firmware/manifest"
	"github.com/hawser-iot/hawser/firmware/signing"
)

// Releases is what the API needs of signed firmware.
type Releases interface {
	Roots(ctx context.Context, product string) (chain artifact.Chain, directed bool, err error)
	AddRoot(ctx context.Context, product string, doc []byte) (chain artifact.Chain, directed bool, err error)
	Director(ctx context.Context) (signing.PublicKey, error)
	Directors(ctx context.Context) ([]artifact.Director, error)
	RotateDirector(ctx context.Context) (artifact.Director, error)
	RetireDirector(ctx context.Context, id signing.KeyID, force bool) (artifact.Director, error)
	SearchReleases(ctx context.Context, product string, q listing.Query) ([]*ota.Release, listing.Page, error)
	Release(ctx context.Context, product string, id int64) (*ota.Release, error)
	AddRelease(ctx context.Context, product string, envelope []byte, description string) (*ota.Release, error)
	PutImage(ctx context.Context, product string, id int64, component string, body io.Reader) (*ota.Release, error)
}

// readDocument reads a body of at most limit bytes.
func readDocument(body io.Reader, limit int64) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(body, limit+1))
	if err != nil {
		return nil, uploadError(err)
	}
	if int64(len(b)) > limit {
		return nil, problem{status: http.StatusRequestEntityTooLarge, code: "too_large", detail: "the document has more than " + strconv.FormatInt(limit, 10) + " bytes"}
	}
	return b, nil
}

// noDirector is the warning for a root document that has no director key of the hub's.
const noDirector = "the newest root document has no director key of the hub's: devices that verify manifests take nothing from this hub. " +
	"Get the key by hawserctl firmware director, and put it into a root document (root init, root rotate: --director-key)"

func rootsOf(chain artifact.Chain, directed bool) apitype.RootList {
	out := apitype.RootList{Items: make([]apitype.Root, len(chain))}
	for i, r := range chain {
		root := apitype.Root{Version: int64(r.Version), IssuedAt: r.Issued.UTC(), Root: roleOf(r, signing.RoleRoot), Release: roleOf(r, signing.RoleRelease),
			Director: roleOf(r, signing.RoleDirector), Document: r.Document, CreatedAt: r.Created}
		if !r.NotAfter.IsZero() {
			root.NotAfter = r.NotAfter.UTC()
		}
		out.Items[i] = root
	}
	if len(chain) > 0 && !directed {
		out.Warning = noDirector
	}
	return out
}

func roleOf(r artifact.Root, name string) apitype.RootRole {
	role := r.Roles[name]
	out := apitype.RootRole{Threshold: role.Threshold, KeyIDs: make([]string, len(role.Keys))}
	for i, k := range role.Keys {
		out.KeyIDs[i] = k.String()
	}
	return out
}

func (s *server) ListRoots(ctx context.Context, r apitype.ListRootsRequestObject) (apitype.ListRootsResponseObject, error) {
	chain, directed, err := s.Releases.Roots(ctx, r.ProductSN)
	return apitype.ListRoots200JSONResponse(rootsOf(chain, directed)), err
}

func (s *server) AddRoot(ctx context.Context, r apitype.AddRootRequestObject) (apitype.AddRootResponseObject, error) {
	doc, err := readDocument(r.Body, signing.MaxRoot)
	if err != nil {
		return nil, err
	}
	chain, directed, err := s.Releases.AddRoot(ctx, r.ProductSN, doc)
	return apitype.AddRoot200JSONResponse(rootsOf(chain, directed)), err
}

func (s *server) GetDirector(ctx context.Context, _ apitype.GetDirectorRequestObject) (apitype.GetDirectorResponseObject, error) {
	k, err := s.Releases.Director(ctx)
	if err != nil {
		return nil, err
	}
	return apitype.GetDirector200JSONResponse{KeyID: k.ID().String(), PublicKey: string(signing.MarshalPublicKey(k))}, nil
}

func directorOf(d artifact.Director) apitype.DirectorKey {
	return apitype.DirectorKey{KeyID: d.Key.ID().String(), PublicKey: string(signing.MarshalPublicKey(d.Key)), CreatedAt: d.Created, RetiredAt: d.Retired,
		Signs: d.Signs, Named: d.Named}
}

func (s *server) ListDirectors(ctx context.Context, _ apitype.ListDirectorsRequestObject) (apitype.ListDirectorsResponseObject, error) {
	list, err := s.Releases.Directors(ctx)
	if err != nil {
		return nil, err
	}
	out := apitype.ListDirectors200JSONResponse{Items: make([]apitype.DirectorKey, len(list))}
	for i, d := range list {
		out.Items[i] = directorOf(d)
	}
	return out, nil
}

func (s *server) RotateDirector(ctx context.Context, _ apitype.RotateDirectorRequestObject) (apitype.RotateDirectorResponseObject, error) {
	d, err := s.Releases.RotateDirector(ctx)
	if err != nil {
		return nil, err
	}
	return apitype.RotateDirector201JSONResponse(directorOf(d)), nil
}

func (s *server) RetireDirector(ctx context.Context, r apitype.RetireDirectorRequestObject) (apitype.RetireDirectorResponseObject, error) {
	b, err := hex.DecodeString(r.DirectorKeyID)
	if err != nil || len(b) != len(signing.KeyID{}) {
		return nil, artifact.ErrNoDirector
	}
	d, err := s.Releases.RetireDirector(ctx, signing.KeyID(b), r.Body != nil && r.Body.Force)
	if inUse, ok := errors.AsType[*artifact.DirectorInUseError](err); ok {
		return nil, problem{status: http.StatusConflict, code: "director_in_use", detail: inUse.Error()}
	}
	if err != nil {
		return nil, err
	}
	return apitype.RetireDirector200JSONResponse(directorOf(d)), nil
}

func releaseOf(r *ota.Release) apitype.Release {
	lead := r.Lead()
	out := apitype.Release{ReleaseID: strconv.FormatInt(r.ID, 10), Digest: r.Digest.String(), Sequence: int64(r.Manifest.Sequence), Module: lead.Module,
		Version: lead.Version, Description: r.Description, Root: int64(r.Root), State: apitype.ReleaseStateMaking, CreatedAt: r.Created,
		Components: make([]apitype.ReleaseComponent, len(r.Manifest.Components)), Files: make([]apitype.ReleaseFile, len(r.Files)), Missing: []string{}}
	for i, c := range r.Manifest.Components {
		out.Components[i] = apitype.ReleaseComponent{Module: c.Module, Version: c.Version, Vendor: c.Vendor.String(), Class: c.Class.String(),
			Size: int64(c.Image.Size), Sha256: c.Image.Digest.String()}
	}
	for i, f := range r.Files {
		out.Files[i] = apitype.ReleaseFile{Component: f.Component, Kind: apitype.ReleaseFileKind(f.Kind.String()), Base: f.Base,
			State: apitype.ReleaseFileState(f.State.String()), Reason: f.Reason, Size: f.Size, Sha256: f.SHA256, CreatedAt: f.Created}
		if f.State == artifact.Missing {
			out.Missing = append(out.Missing, f.Component)
		}
	}
	switch p := r.Progress(); {
	case r.Ready:
		out.State = apitype.ReleaseStateReady
	case p.Failed > 0:
		out.State = apitype.ReleaseStateFailed
	case p.Missing > 0:
		out.State = apitype.ReleaseStateMissing
	}
	return out
}

// releaseID is the id that a request names.
func releaseID(text string) (int64, error) {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0, ota.ErrFirmwareNotFound
	}
	return n, nil
}

func (s *server) ListReleases(ctx context.Context, r apitype.ListReleasesRequestObject) (apitype.ListReleasesResponseObject, error) {
	p := r.Params
	q, err := wholeQuery(p.Filter, p.Sort, p.Count, p.Limit, p.Cursor)
	if err != nil {
		return nil, err
	}
	list, page, err := s.Releases.SearchReleases(ctx, r.ProductSN, q)
	out := apitype.ListReleases200JSONResponse{Items: make([]apitype.Release, len(list)), NextCursor: page.Next, Total: totalIn(q, page), Counts: page.By}
	for i, rel := range list {
		out.Items[i] = releaseOf(rel)
	}
	return out, err
}

func (s *server) AddRelease(ctx context.Context, r apitype.AddReleaseRequestObject) (apitype.AddReleaseResponseObject, error) {
	b, err := readDocument(r.Body, manifest.MaxSize)
	if err != nil {
		return nil, err
	}
	rel, err := s.Releases.AddRelease(ctx, r.ProductSN, b, valueOf(r.Params.Description))
	if err != nil {
		return nil, err
	}
	return apitype.AddRelease201JSONResponse(releaseOf(rel)), nil
}

func (s *server) GetRelease(ctx context.Context, r apitype.GetReleaseRequestObject) (apitype.GetReleaseResponseObject, error) {
	id, err := releaseID(r.ReleaseID)
	if err != nil {
		return nil, err
	}
	rel, err := s.Releases.Release(ctx, r.ProductSN, id)
	if err != nil {
		return nil, err
	}
	return apitype.GetRelease200JSONResponse(releaseOf(rel)), nil
}

func (s *server) PutImage(ctx context.Context, r apitype.PutImageRequestObject) (apitype.PutImageResponseObject, error) {
	id, err := releaseID(r.ReleaseID)
	if err != nil {
		return nil, err
	}
	rel, err := s.Releases.PutImage(ctx, r.ProductSN, id, r.Component, r.Body)
	if err != nil {
		return nil, uploadError(err)
	}
	return apitype.PutImage200JSONResponse(releaseOf(rel)), nil
}
