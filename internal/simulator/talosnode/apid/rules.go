package apid

import (
	"context"
	"slices"
	"strings"

	"github.com/siderolabs/talos/pkg/machinery/role"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// rule says which roles may call a method: os:admin everything, the others what is listed for them. The table is
// that of Talos' machined (internal/app/machined/pkg/system/services/machined.go), held against the recorded
// matrix of role and method by a test. Rights per COSI type are the business of package resources.
type rule struct {
	service string
	methods string // separated by blanks
	roles   role.Set
}

func rules() []rule {
	reads := role.MakeSet(role.Operator, role.Reader)
	backs := role.MakeSet(role.Operator, role.Reader, role.EtcdBackup)
	operates := role.MakeSet(role.Operator)
	return []rule{
		{"machine.MachineService", "CPUInfo CPUFreqStats Containers DiskStats DiskUsage Dmesg Events Hostname " +
			"ImageList List LoadAvg Logs LogsContainers Memory Mounts NetworkDeviceStats Netstat Processes " +
			"ServiceList Stats SystemStat Version", reads},
		{"machine.MachineService", "EtcdAlarmList EtcdMemberList EtcdStatus", backs},
		{"machine.MachineService", "EtcdSnapshot", role.MakeSet(role.Operator, role.EtcdBackup)},
		{"machine.MachineService", "EtcdAlarmDisarm EtcdDefragment ImagePull PacketCapture Reboot Restart " +
			"ServiceRestart ServiceStart ServiceStop Shutdown", operates},
		{"machine.MachineService", "MetaWrite MetaDelete", role.MakeSet(role.MetaWriter)},
		{"machine.ImageService", "List", reads},
		{"machine.ImageService", "Pull", operates},
		{"machine.ImageService", "Verify", role.MakeSet(role.Operator, role.Reader, role.ImageVerifier)},
		{"inspect.InspectService", "ControllerRuntimeDependencies", reads},
		{"cluster.ClusterService", "HealthCheck", reads},
		{"storage.StorageService", "Disks", reads},
		{"time.TimeService", "Time TimeCheck", reads},
		{"cosi.resource.State", "Get List Watch", reads},
	}
}

// inMaintenance are the methods beyond reading that maintenance mode allows everybody.
func inMaintenance() []string {
	return []string{"/machine.MachineService/ApplyConfiguration", "/storage.StorageService/BlockDeviceWipe"}
}

// inOldMaintenance are the methods that maintenance mode has in a Talos before 1.13, where it is a server of its own.
// Source: talos internal/app/maintenance/server.go.
func inOldMaintenance() []string {
	return []string{
		"/machine.MachineService/ApplyConfiguration", "/storage.StorageService/Disks", "/storage.StorageService/BlockDeviceWipe",
		"/cosi.resource.State/Get", "/cosi.resource.State/List", "/cosi.resource.State/Watch",
	}
}

// forNobody are refused to os:admin too.
func forNobody() []string {
	return []string{"/cosi.resource.State/Create", "/cosi.resource.State/Destroy"}
}

type authorizer struct {
	allowed     map[string]role.Set
	maintenance []string
	nobody      []string
	only        []string // nil: all that are registered
}

func newAuthorizer(maintenance, old bool) *authorizer {
	a := &authorizer{allowed: map[string]role.Set{}, nobody: forNobody()}
	for _, r := range rules() {
		for m := range strings.FieldsSeq(r.methods) {
			a.allowed["/"+r.service+"/"+m] = r.roles
		}
	}
	if maintenance {
		a.maintenance = inMaintenance()
		if old {
			a.only = inOldMaintenance()
		}
	}
	return a
}

// check gives the error of a caller who may not call method.
func (a *authorizer) check(ctx context.Context, method string) error {
	roles := Roles(ctx)
	switch {
	case a.only != nil && !slices.Contains(a.only, method):
		return status.Error(codes.Unimplemented, "API is not implemented in maintenance mode")
	case slices.Contains(a.nobody, method):
	case roles.Includes(role.Admin), roles.IncludesAny(a.allowed[method]), slices.Contains(a.maintenance, method):
		return nil
	}
	return status.Error(codes.PermissionDenied, "not authorized")
}
