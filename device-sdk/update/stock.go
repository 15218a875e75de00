package update

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"io"
	"strings"

	"github.com/hawser-iot/hawser/firmware/delta"
	"github.com/hawser-iot/hawser/firmware/failure"
	"github.com/hawser-iot/hawser/firmware/image"
)

// verifyStock takes an offer without a manifest, if the device is configured to.
func (u *Updater) verifyStock() error {
	s := u.plan.Stock
	_, known := u.cfg.Modules[u.plan.Module]
	switch {
	case !u.cfg.AllowUnsigned:
		return failure.New(failure.Signature, "update: firmware without a manifest, which this device does not take")
	case !known:
		return failure.New(failure.WrongDevice, "update: the device has no module %.40q", u.plan.Module)
	case s.Size < 1 || s.Size > image.MaxSize || len(s.MD5) != hex.EncodedLen(md5.Size) || !strings.Contains(s.URL, "://"):
		return failure.New(failure.Hash, "update: an offer of %d bytes with MD5 %.40q and URL %.60q", s.Size, s.MD5, redact(s.URL))
	}
	return u.move(accepted)
}

// stageStock downloads an image and holds it to its MD5.
func (u *Updater) stageStock(ctx context.Context) error {
	if err := u.tell(stateDownloading, 0, ""); err != nil {
		return err
	}
	s := u.plan.Stock
	t, err := u.cfg.Storage.Target(u.plan.Module, s.Size)
	if err != nil {
		return flashError(err)
	}
	defer t.Close() // what matters was synced
	st := &stager{u: u, d: u.downloader([]string{s.URL}), size: s.Size}
	err = st.copy(ctx, "", s.Size, t)
	u.plan.Net = st.d.net
	if err != nil {
		return err
	}
	h := md5.New()
	if _, err := io.CopyBuffer(struct{ io.Writer }{h}, struct{ io.Reader }{io.NewSectionReader(t, 0, s.Size)}, make([]byte, 32<<10)); err != nil {
		return fmt.Errorf("%w: read it back: %w", delta.ErrTarget, err)
	}
	if got := hex.EncodeToString(h.Sum(nil)); !strings.EqualFold(got, s.MD5) {
		if err := u.mark(0); err != nil {
			return err
		}
		return failure.New(failure.Hash, "update: the file has the MD5 %s, offered was %.40q", got, s.MD5)
	}
	sum, err := digestOf(ctx, t, s.Size)
	if err != nil {
		return err
	}
	s.Sum = sum[:]
	if err := u.move(staged); err != nil {
		return err
	}
	return u.tell(stateStaged, 1000, "")
}
