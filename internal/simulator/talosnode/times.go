package talosnode

import "time"

// How long things take on a metal node, in time of the world. The recordings were made without firmware, kernel
// and disks; these are between them and what servers need.
const (
	kernelTime    = 6 * time.Second // kernel and initramfs
	stepTime      = 300 * time.Millisecond
	networkTime   = 3 * time.Second // link and DHCP
	serviceTime   = 700 * time.Millisecond
	healthTime    = time.Second
	healthPeriod  = 5 * time.Second // of a service that was healthy
	ephemeralTime = 2 * time.Second // finding, formatting and mounting partitions
	pullTime      = 6 * time.Second // the kubelet's image, when it is not on the disk

	etcdHealthTime  = 5 * time.Second
	joinTime        = 3 * time.Second        // between two tries to join
	learnerNameTime = 300 * time.Millisecond // a learner has no name until it has started
	learnerTime     = 7 * time.Second        // until its health check says so
	retryTime       = 500 * time.Millisecond // Talos' controllers try again about twice a second

	podsTime      = 8 * time.Second  // static pods, their images on the disk
	podsPullTime  = 14 * time.Second // static pods, their images pulled
	registerTime  = 2 * time.Second
	quorumPods    = 14 * time.Second // from a lost quorum to static pods that are not ready
	quorumFailing = 34 * time.Second // to an etcd that is not healthy

	publishTime   = 50 * time.Millisecond // between two looks at the COSI resources
	discoveryPace = 5 * time.Second       // until a node notices that others came or went
	discoveryTime = 30 * time.Minute      // discovery forgets a node that is gone
	apiStartTime  = 300 * time.Millisecond
	apiGraceTime  = 10 * time.Second
	fatalTime     = 10 * time.Second // from a fatal error to the reboot
	leaveTime     = 7 * time.Second
	drainTime     = 2 * time.Second
	podsStopTime  = 2 * time.Second
	upgradeTime   = 12 * time.Second
	wipeTime      = 3 * time.Second
)
