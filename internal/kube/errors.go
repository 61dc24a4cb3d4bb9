package kube

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/version"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

// kinds turns the reasons of Kubernetes (apimachinery/pkg/apis/meta/v1, StatusReason) into ours.
var kinds = map[metav1.StatusReason]fleet.Kind{
	metav1.StatusReasonNotFound:              fleet.NotFound,
	metav1.StatusReasonGone:                  fleet.NotFound,
	metav1.StatusReasonAlreadyExists:         fleet.Conflict,
	metav1.StatusReasonConflict:              fleet.Conflict,
	metav1.StatusReasonForbidden:             fleet.Forbidden,
	metav1.StatusReasonUnauthorized:          fleet.Unauthorized,
	metav1.StatusReasonInvalid:               fleet.Invalid,
	metav1.StatusReasonBadRequest:            fleet.Invalid,
	metav1.StatusReasonRequestEntityTooLarge: fleet.Invalid,
	metav1.StatusReasonTooManyRequests:       fleet.Exhausted,
}

// explain gives an error its kind and says what was done to whom. What Kubernetes gives no reason for, and what never
// got there, is unavailable: it may be tried again.
func (c *Cluster) explain(ctx context.Context, err error, format string, args ...any) error {
	doing := fmt.Sprintf(format, args...)
	if status := apierrors.APIStatus(nil); errors.As(err, &status) {
		kind, known := kinds[status.Status().Reason]
		if !known {
			kind = fleet.Unavailable
		}
		e := fleet.Errorf(kind, "%s: %w", doing, err)
		switch kind {
		case fleet.Unauthorized:
			return e.WithHint("%s does not know our certificate any more: was the cluster made anew, or its CA rotated?", c.host)
		case fleet.Unavailable:
			return e.WithHint("the API server answers, but cannot serve: look at etcd's quorum")
		}
		return e
	}
	if _, stranger := errors.AsType[*tls.CertificateVerificationError](err); stranger {
		return fleet.Errorf(fleet.Unauthorized, "%s: %w", doing, err).
			WithHint("%s is not the cluster of this kubeconfig: was it made anew, or its CA rotated?", c.host)
	}
	if cause := context.Cause(ctx); cause != nil {
		return fleet.Errorf(fleet.Unavailable, "%s: no answer from the Kubernetes API at %s: %w", doing, c.host, cause)
	}
	return fleet.Errorf(fleet.Unavailable, "%s: Kubernetes API at %s: %w", doing, c.host, err)
}

func readVersion(data []byte) (string, error) {
	var info version.Info
	if err := json.Unmarshal(data, &info); err != nil || info.GitVersion == "" {
		return "", fleet.Errorf(fleet.Unavailable, "ask for the version: the answer is not Kubernetes'")
	}
	return info.GitVersion, nil
}
