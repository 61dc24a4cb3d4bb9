package app

import (
	"path/filepath"
	"strings"

	"github.com/talos-manager/talos-manager/internal/store"
	"github.com/talos-manager/talos-manager/internal/web"
)

// about is what the page of settings tells of them. Nothing secret is in it.
func (a *App) about() web.About {
	s := a.Settings
	proxies := make([]string, len(s.Proxies))
	for i, p := range s.Proxies {
		proxies[i] = p.String()
	}
	about := web.About{
		URL: s.URL, Listen: s.Listen, TLS: s.TLSCert != "", Proxies: strings.Join(proxies, ", "), DataDir: s.DataDir, Database: "SQLite",
		SealKey: filepath.Join(s.DataDir, "seal.key"), PasswordFile: a.Access.PasswordFile, Factory: s.FactoryURL, Images: s.Images,
		ViaManager: s.ViaManager, ImageBytes: s.ImageBytes, Robot: s.RobotURL, Cloud: s.CloudURL, SyncEvery: s.SyncEvery, LookEvery: s.LookEvery,
		OwnKey: s.SSHKey != nil,
	}
	if a.Store.Adapter() == store.Postgres {
		about.Database = "PostgreSQL"
	}
	if s.SealKey != "" {
		about.SealKey = ""
	}
	return about
}
