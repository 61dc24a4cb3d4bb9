package web

import (
	"time"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

// settingsArea is the settings of this program, and its API tokens.
func (s *site) settingsArea() area {
	return area{
		pages: map[string]loader{"/settings": s.settings},
		actions: map[string]handler{
			"POST /settings/tokens":              s.createToken,
			"POST /settings/tokens/{ref}/revoke": s.revokeToken,
		},
	}
}

// About is how this program is set. Nothing secret is in it: where a secret is kept, not what it is.
type About struct {
	URL          string // HOST, "" if it is not set
	Listen       string
	TLS          bool   // it serves TLS itself
	Proxies      string // whose word for addresses is believed
	DataDir      string
	Database     string // SQLite or PostgreSQL
	SealKey      string // file with the key that seals secrets; "": it is a setting
	PasswordFile string // file with the generated password; "": it is a setting
	OwnKey       bool   // the SSH key is a setting; else it was generated
	Factory      string
	Images       map[fleet.Architecture]string // to write instead of the factory's
	ViaManager   bool
	ImageBytes   int64
	Robot, Cloud string // base addresses
	SyncEvery    time.Duration
	LookEvery    time.Duration
}
