//go:build unix

package storetest

import (
	"errors"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"syscall"
)

// detach keeps a ctrl-C at the terminal from a child: it ends when the test binary does.
func detach(c *exec.Cmd) { c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }

// dropRoot runs the command as the user that ownDirectory gave the directory to.
func dropRoot(c *exec.Cmd) {
	if id, err := unprivileged(); err == nil && id != nil {
		c.SysProcAttr.Credential = id
	}
}

func ownDirectory(dir string) error {
	id, err := unprivileged()
	if err != nil || id == nil {
		return err
	}
	return os.Chown(dir, int(id.Uid), int(id.Gid))
}

// unprivileged is whom to run as when we are root; nil: as ourselves.
func unprivileged() (*syscall.Credential, error) {
	if os.Getuid() != 0 {
		return nil, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, uidErr := strconv.ParseUint(u.Uid, 10, 32)
		gid, gidErr := strconv.ParseUint(u.Gid, 10, 32)
		if err := errors.Join(uidErr, gidErr); err != nil {
			return nil, err
		}
		return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
	}
	return nil, errors.New("postgres does not run as root, and there is neither a user postgres nor nobody")
}
