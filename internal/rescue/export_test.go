package rescue

import (
	"context"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

// ReadMeta decodes the META partition of a disk that holds a Talos image.
func (s *Session) ReadMeta(ctx context.Context, d fleet.Disk) (Meta, error) {
	p, err := s.partition(ctx, d, "META")
	if err != nil {
		return nil, err
	}
	all, err := s.readMeta(ctx, d, p)
	if err != nil {
		return nil, err
	}
	return metaOf(all), nil
}
