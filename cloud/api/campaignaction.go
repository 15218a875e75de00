package api

import (
	"context"
	"strconv"

	"github.com/hawser-iot/hawser/cloud/apitype"
	"github.com/hawser-iot/hawser/cloud/ota"
	"github.com/hawser-iot/hawser/cloud/ota/rollout"
	"github.com/hawser-iot/hawser/firmware/signing"
)

// onCampaign takes an action on the campaign that a request names, under the revision that the caller has seen.
func (s *server) onCampaign(ctx context.Context, product, id string, do func(product string, id, revision int64) (*ota.Campaign, error)) (apitype.Campaign, error) {
	n, err := campaignID(id)
	if err != nil {
		return apitype.Campaign{}, err
	}
	var revision int64
	if seen := ifRevision(ctx); seen != nil {
		revision = *seen
	}
	c, err := do(product, n, revision)
	if err != nil {
		return apitype.Campaign{}, err
	}
	return s.campaignOf(ctx, c)
}

func (s *server) ApproveCampaign(ctx context.Context, r apitype.ApproveCampaignRequestObject) (apitype.ApproveCampaignResponseObject, error) {
	c, err := s.onCampaign(ctx, r.ProductSN, r.CampaignID, func(product string, id, revision int64) (*ota.Campaign, error) {
		return s.OTA.Approve(ctx, product, id, revision, callerOf(ctx))
	})
	if err != nil {
		return nil, err
	}
	return apitype.ApproveCampaign200JSONResponse(c), nil
}

func (s *server) UpdateCampaign(ctx context.Context, r apitype.UpdateCampaignRequestObject) (apitype.UpdateCampaignResponseObject, error) {
	p := ota.Patch{Deadlines: r.Body.Deadlines, Expires: r.Body.ExpiresAt}
	var err error
	if r.Body.Waves != nil {
		p.Waves, err = recode[[]rollout.Wave](r.Body.Waves)
	}
	if r.Body.Rate != nil && err == nil {
		p.Rate, err = recode[*rollout.Rate](r.Body.Rate)
	}
	if r.Body.Stop != nil && err == nil {
		p.Stop, err = recode[*rollout.Stop](r.Body.Stop)
	}
	if r.Body.Retry != nil && err == nil {
		p.Retry, err = recode[*rollout.Retry](r.Body.Retry)
	}
	if r.Body.Window != nil && err == nil {
		p.Window, err = recode[*signing.Window](r.Body.Window)
	}
	if err != nil {
		return nil, invalid("body", "%s", err)
	}
	c, err := s.onCampaign(ctx, r.ProductSN, r.CampaignID, func(product string, id, revision int64) (*ota.Campaign, error) {
		return s.OTA.Change(ctx, product, id, revision, p, callerOf(ctx))
	})
	if err != nil {
		return nil, err
	}
	return apitype.UpdateCampaign200JSONResponse(c), nil
}

func (s *server) PauseCampaign(ctx context.Context, r apitype.PauseCampaignRequestObject) (apitype.PauseCampaignResponseObject, error) {
	c, err := s.onCampaign(ctx, r.ProductSN, r.CampaignID, func(product string, id, revision int64) (*ota.Campaign, error) {
		return s.OTA.Pause(ctx, product, id, revision)
	})
	if err != nil {
		return nil, err
	}
	return apitype.PauseCampaign200JSONResponse(c), nil
}

func (s *server) ResumeCampaign(ctx context.Context, r apitype.ResumeCampaignRequestObject) (apitype.ResumeCampaignResponseObject, error) {
	c, err := s.onCampaign(ctx, r.ProductSN, r.CampaignID, func(product string, id, revision int64) (*ota.Campaign, error) {
		return s.OTA.Resume(ctx, product, id, revision)
	})
	if err != nil {
		return nil, err
	}
	return apitype.ResumeCampaign200JSONResponse(c), nil
}

func (s *server) AbortCampaign(ctx context.Context, r apitype.AbortCampaignRequestObject) (apitype.AbortCampaignResponseObject, error) {
	c, err := s.onCampaign(ctx, r.ProductSN, r.CampaignID, func(product string, id, revision int64) (*ota.Campaign, error) {
		return s.OTA.Abort(ctx, product, id, revision)
	})
	if err != nil {
		return nil, err
	}
	return apitype.AbortCampaign200JSONResponse(c), nil
}

func (s *server) RetryCampaign(ctx context.Context, r apitype.RetryCampaignRequestObject) (apitype.RetryCampaignResponseObject, error) {
	c, err := s.onCampaign(ctx, r.ProductSN, r.CampaignID, func(product string, id, revision int64) (*ota.Campaign, error) {
		class := ""
		if r.Body != nil {
			class = r.Body.Class
		}
		c, _, err := s.OTA.Retry(ctx, product, id, revision, class)
		return c, err
	})
	if err != nil {
		return nil, err
	}
	return apitype.RetryCampaign200JSONResponse(c), nil
}

func (s *server) RollbackCampaign(ctx context.Context, r apitype.RollbackCampaignRequestObject) (apitype.RollbackCampaignResponseObject, error) {
	id, err := campaignID(r.CampaignID)
	if err != nil {
		return nil, err
	}
	var revision, firmware int64
	if seen := ifRevision(ctx); seen != nil {
		revision = *seen
	}
	var b apitype.CampaignRollback
	if r.Body != nil {
		b = *r.Body
	}
	if b.FirmwareID != "" {
		if firmware, err = strconv.ParseInt(b.FirmwareID, 10, 64); err != nil {
			return nil, ota.ErrFirmwareNotFound
		}
	}
	list, err := s.OTA.RollBack(ctx, r.ProductSN, id, revision, b.Wave, firmware, callerOf(ctx))
	if err != nil {
		return nil, err
	}
	items, err := s.campaignsOf(ctx, list)
	if err != nil {
		return nil, err
	}
	return apitype.RollbackCampaign200JSONResponse{Items: items}, nil
}
