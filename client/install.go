package client

import (
	"context"
	"net/http"
	"time"
)

// What an install may overwrite without asking, how the config takes to the machine, and how Talos gets to run on it.
const (
	CleanOnly = "clean-only" // blank disks
	WipeOurs  = "wipe-ours"  // and the disk that an install of ours wrote on this server before
	WipeAll   = "wipe-all"   // and whatever is listed on the chosen disk

	Pull = "pull" // the machine fetches its config from the manager
	Push = "push" // the manager hands it to the machine

	BootImage = "image" // an image is written to the disk, and the disk is booted
	BootKexec = "kexec" // Talos is started from the rescue system, and installs itself
	BootAuto  = "auto"  // kexec when the budget of restarts is short, else image
)

// InstallOptions are how to install.
type InstallOptions struct {
	Wipe          bool   `json:"wipe,omitempty" doc:"the disk may hold data: the same as the disk policy wipe-all"`
	DiskPolicy    string `json:"diskPolicy,omitempty" enum:"clean-only,wipe-ours,wipe-all" doc:"what may be overwritten without asking; absent: as the server or its cluster has it"`
	Delivery      string `json:"delivery,omitempty" enum:"pull,push" doc:"how the config takes to the machine; absent: pull"`
	Boot          string `json:"boot,omitempty" enum:"image,kexec,auto" doc:"how Talos gets to run the first time; absent: image"`
	OverrideUUID  bool   `json:"overrideUUID,omitempty" doc:"give the machine a UUID in META if its board's is none or another server's"`
	StaticNetwork bool   `json:"staticNetwork,omitempty" doc:"have META carry the addresses of the rescue system, for machines that no DHCP serves"`
	ViaManager    bool   `json:"viaManager,omitempty" doc:"have the machine fetch its image from the manager, which fetches it once for all"`
	ImageSHA256   string `json:"imageSHA256,omitempty" doc:"checksum of the image file, hex"`
}

// InstallPlanRequest names the servers of a plan, in the order they are to be installed in.
type InstallPlanRequest struct {
	Servers []string `json:"servers" minItems:"1" doc:"names or ids"`
	InstallOptions
}

// InstallPlan says how installs of some servers would go if they were ordered now. Times are typical ones, or the median
// of what was measured.
type InstallPlan struct {
	At      time.Time        `json:"at"`
	End     time.Time        `json:"end,omitzero" doc:"of the last install; absent if none can end by itself"`
	Servers []PlannedInstall `json:"servers" nullable:"false" doc:"in the order they are to be installed in"`
	Budgets []PlannedBudget  `json:"budgets,omitempty" doc:"of calls that the installs draw on"`
	Times   []PhaseTime      `json:"times,omitempty" doc:"what the plan reckons with"`
	AtOnce  int              `json:"atOnce" doc:"how many are worked on at the same time; an install that waits does not count"`
	Shorter []ShorterPlan    `json:"shorter,omitempty" doc:"ways that would be over earlier, the best first"`
}

// PlannedInstall is the forecast for one server.
type PlannedInstall struct {
	Server    Ref            `json:"server"`
	Cluster   string         `json:"cluster,omitempty"`
	Role      string         `json:"role,omitempty"`
	Account   string         `json:"account,omitempty"`
	Start     time.Time      `json:"start,omitzero"`
	End       time.Time      `json:"end,omitzero" doc:"absent: it would not end by itself"`
	Restarts  int            `json:"restarts,omitempty" doc:"that it takes from its account's budget"`
	Phases    []PlannedPhase `json:"phases,omitempty"`
	Problems  []Problem      `json:"problems,omitempty" doc:"why it would be refused, or fail"`
	Questions []string       `json:"questions,omitempty" doc:"what it would ask a person"`
}

// Problem is what stands in the way of an install, and what to do about it.
type Problem struct {
	Text string `json:"text"`
	Hint string `json:"hint,omitempty"`
}

// PlannedPhase is a stretch of an install: first it waits, then it works.
type PlannedPhase struct {
	Name     string    `json:"name"`
	Start    time.Time `json:"start"`
	Works    time.Time `json:"works" doc:"when the waiting is over"`
	End      time.Time `json:"end"`
	WaitsFor string    `json:"waitsFor,omitempty"`
}

// PlannedBudget is what a plan takes from a budget of calls.
type PlannedBudget struct {
	Account string    `json:"account"`
	Group   string    `json:"group" doc:"of endpoints"`
	Calls   int       `json:"calls" doc:"it allows"`
	Seconds float64   `json:"seconds" doc:"in so long a time"`
	Used    int       `json:"used" doc:"now"`
	Back    time.Time `json:"back,omitzero" doc:"when what is used now is back"`
	Needed  int       `json:"needed" doc:"by the plan"`
	Last    time.Time `json:"last,omitzero" doc:"when the plan takes the last of it"`
}

// PhaseTime is how long a phase is reckoned to take.
type PhaseTime struct {
	Provider string  `json:"provider"`
	Phase    string  `json:"phase"`
	Seconds  float64 `json:"seconds"`
	Measured int     `json:"measured,omitempty" doc:"past operations it is the median of; absent: a typical time"`
}

// ShorterPlan is a way to be done earlier.
type ShorterPlan struct {
	What    string    `json:"what"`
	How     string    `json:"how,omitempty" doc:"a command"`
	Seconds float64   `json:"savesSeconds" doc:"until all are done"`
	Each    float64   `json:"savesSecondsEach,omitempty" doc:"until one of them is done, on the average"`
	End     time.Time `json:"end,omitzero"`
}

// InstallPreview is what an install would do to a server, as far as the records and its last facts tell.
type InstallPreview struct {
	Server       string          `json:"server"`
	Cluster      string          `json:"cluster,omitempty"`
	TalosVersion string          `json:"talosVersion,omitempty"`
	Schematic    string          `json:"schematic,omitempty" doc:"id at the factory; absent for a plain image"`
	Image        string          `json:"image,omitempty"`
	Kernel       string          `json:"kernel,omitempty" doc:"for kexec, in place of an image"`
	Initramfs    string          `json:"initramfs,omitempty"`
	Plain        bool            `json:"plain,omitempty" doc:"an image of the settings, not the factory's"`
	Delivery     string          `json:"delivery"`
	Boot         string          `json:"boot"`
	FactsAt      time.Time       `json:"factsAt,omitzero" doc:"when the machine said what the rest goes by; absent: never"`
	Disk         *Disk           `json:"disk,omitempty"`
	Contents     []string        `json:"contents,omitempty" doc:"of the disk, that would be lost"`
	DiskPolicy   string          `json:"diskPolicy"`
	Verdict      string          `json:"verdict,omitempty" doc:"what the policy says of that disk"`
	Question     string          `json:"question,omitempty" doc:"that would be asked"`
	Meta         []PreviewMeta   `json:"meta,omitempty" doc:"what would be written to the META partition"`
	Steps        []string        `json:"steps" nullable:"false"`
	Scripts      []PreviewScript `json:"scripts,omitempty" doc:"that would be run on the machine, in order"`
	Problems     []Problem       `json:"problems,omitempty" doc:"why it would be refused, or fail"`
}

// PreviewMeta is a value for the META partition.
type PreviewMeta struct {
	Key   uint8  `json:"key"`
	Name  string `json:"name"`
	Value string `json:"value" doc:"… for the one-time code, which is made when it is written"`
}

// PreviewScript is a script that would be run on the machine.
type PreviewScript struct {
	Step string `json:"step"`
	Name string `json:"name"`
	Line string `json:"line" doc:"as it would be called; … for what only the run knows"`
	Why  string `json:"why,omitempty"`
	Text string `json:"text"`
}

// InstallServer puts Talos on an assigned server and makes it a node of its cluster.
func (c *Client) InstallServer(ctx context.Context, ref string, options InstallOptions) (o Operation, err error) {
	return o, c.call(ctx, http.MethodPost, at("/servers/%s/install", ref), nil, options, &o)
}

// PreviewInstall says what an install of a server would do. Nothing is done, and nobody is asked.
func (c *Client) PreviewInstall(ctx context.Context, ref string, options InstallOptions) (p InstallPreview, err error) {
	return p, c.call(ctx, http.MethodPost, at("/servers/%s/install/preview", ref), nil, options, &p)
}

// PlanInstalls says how long installs of these servers would take, and who waits for what. Nothing is done, and nobody
// is asked.
func (c *Client) PlanInstalls(ctx context.Context, r InstallPlanRequest) (p InstallPlan, err error) {
	return p, c.call(ctx, http.MethodPost, at("/servers/install-plan"), nil, r, &p)
}
