package api

import "github.com/danielgtaylor/huma/v2"

// routes is every route of the API.
func (a *api) routes(h huma.API) {
	add(a, h, "show-version", "GET /version", "What this manager is", a.version)
	add(a, h, "show-ssh-key", "GET /ssh-key", "Public key of rescue systems", a.sshKey)
	add(a, h, "check-address", "POST /address/check", "Look whether the public address answers as machines need it", a.checkAddress)
	add(a, h, "list-vswitches", "GET /vswitches", "List the vSwitches", a.listVSwitches)

	add(a, h, "list-accounts", "GET /accounts", "List the accounts", a.listAccounts)
	add(a, h, "add-account", "POST /accounts", "Try credentials and keep them as an account", a.addAccount, created)
	add(a, h, "show-account", "GET /accounts/{ref}", "Show an account", a.showAccount)
	add(a, h, "remove-account", "DELETE /accounts/{ref}", "Forget an account", a.removeAccount)
	add(a, h, "check-account", "POST /accounts/{ref}/check", "Try the credentials of an account", a.checkAccount)
	add(a, h, "rotate-account", "PUT /accounts/{ref}/credentials", "Try other credentials and give them to an account", a.rotateAccount)
	add(a, h, "list-budgets", "GET /accounts/{ref}/budgets", "Say how many calls the provider still lets an account make", a.accountBudgets)
	add(a, h, "sync-account", "POST /accounts/{ref}/sync", "List the servers of an account at its provider now", a.syncAccount)

	add(a, h, "list-servers", "GET /servers", "List servers", a.listServers)
	add(a, h, "sync-servers", "POST /servers/sync", "List the servers of all accounts at their providers now", a.syncServers)
	add(a, h, "add-server", "POST /servers", "Note a server of any make, by its address", a.addServer, created)
	add(a, h, "show-server", "GET /servers/{ref}", "Show a server", a.showServer)
	add(a, h, "change-server", "PATCH /servers/{ref}", "Change a server at its provider", a.changeServer)
	add(a, h, "remove-server", "DELETE /servers/{ref}", "Forget a server that no account lists", a.removeServer)
	add(a, h, "probe-server", "POST /servers/{ref}/probe", "Look at what answers at the address of a server that was added by hand", a.probeServer)
	add(a, h, "assign-server", "PATCH /servers/{ref}/assignment", "Say what a server is to be", a.assignServer)
	add(a, h, "rescue-server", "POST /servers/{ref}/rescue", "Boot a server into the rescue system and read its facts", a.rescueServer, accepted)
	a.installRoutes(h)
	add(a, h, "recover-uuid", "POST /servers/{ref}/recover-uuid", "Give Talos the UUID back by which it ran, after an exchange of the board", a.recoverUUID, accepted)
	add(a, h, "show-machine-config", "GET /servers/{ref}/machine-config", "Show the machine config of a server", a.machineConfig, orYAML(h))
	add(a, h, "diff-machine-configs", "GET /servers/{ref}/machine-config/diff", "Say what the machine configs of two servers differ in", a.diffMachineConfigs)
	add(a, h, "explain-machine-config", "GET /servers/{ref}/machine-config/explain", "Say which patch set each line of a machine config", a.explainMachineConfig)

	add(a, h, "list-clusters", "GET /clusters", "List the clusters", a.listClusters)
	add(a, h, "create-cluster", "POST /clusters", "Create a cluster", a.createCluster, created)
	add(a, h, "show-cluster", "GET /clusters/{ref}", "Show a cluster", a.showCluster)
	add(a, h, "update-cluster", "PATCH /clusters/{ref}", "Change the record of a cluster", a.updateCluster)
	add(a, h, "delete-cluster", "DELETE /clusters/{ref}", "Forget a cluster and its secrets", a.deleteCluster)
	add(a, h, "bootstrap-cluster", "POST /clusters/{ref}/bootstrap", "Start etcd of a new cluster", a.bootstrapCluster, accepted)
	add(a, h, "show-cluster-health", "GET /clusters/{ref}/health", "Ask the nodes, the etcd and the Kubernetes API of a cluster how they are", a.clusterHealth)
	add(a, h, "replace-cluster-secrets", "PUT /clusters/{ref}/secrets", "Give a cluster that has not begun to run the secrets of one that exists", a.replaceSecrets)
	add(a, h, "show-talosconfig", "GET /clusters/{ref}/talosconfig", "Make an admin talosconfig", a.talosconfig, yaml)
	add(a, h, "show-kubeconfig", "GET /clusters/{ref}/kubeconfig", "Fetch an admin kubeconfig", a.kubeconfig, yaml)

	add(a, h, "list-configs", "GET /configs", "List the configs", a.listConfigs)
	add(a, h, "create-config", "POST /configs", "Create a config", a.createConfig, created)
	add(a, h, "show-config", "GET /configs/{ref}", "Show a config", a.showConfig, explained(aboutSecrets))
	add(a, h, "update-config", "PUT /configs/{ref}", "Replace a config", a.updateConfig)
	add(a, h, "delete-config", "DELETE /configs/{ref}", "Forget a config", a.deleteConfig)
	a.layerRoutes(h)
	a.lintRoutes(h)
	a.recipeRoutes(h)
	add(a, h, "plan", "POST /plan", "Say what a change would do to machine configs", a.plan)

	a.schematicRoutes(h)

	add(a, h, "list-rules", "GET /rules", "List the label and taint rules", a.listRules)
	add(a, h, "create-rule", "POST /rules", "Create a label and taint rule", a.createRule, created)
	add(a, h, "delete-rule", "DELETE /rules/{id}", "Forget a label and taint rule", a.deleteRule)

	add(a, h, "list-operations", "GET /operations", "List operations, newest first", a.listOperations)
	add(a, h, "show-operation", "GET /operations/{id}", "Show an operation with its steps", a.showOperation)
	add(a, h, "show-operation-log", "GET /operations/{id}/log", "Read the log of an operation", a.operationLog)
	add(a, h, "follow-operation", "GET /operations/{id}/follow", "Follow an operation until it is over", a.follow, eventStream(h))
	add(a, h, "cancel-operation", "POST /operations/{id}/cancel", "Stop an operation", a.cancelOperation)
	add(a, h, "retry-operation", "POST /operations/{id}/retry", "Continue an operation where it stopped", a.retryOperation)
	add(a, h, "skip-step", "POST /operations/{id}/skip", "Go on after the step at which an operation waits or failed", a.skipStep)
	add(a, h, "approve-operation", "POST /operations/{id}/approve", "Answer the question of an operation", a.approveOperation)

	add(a, h, "list-events", "GET /events", "List what happened, newest first", a.listEvents)

	add(a, h, "list-tokens", "GET /tokens", "List the API tokens", a.listTokens)
	add(a, h, "create-token", "POST /tokens", "Make an API token; it is shown this once", a.createToken, created)
	add(a, h, "delete-token", "DELETE /tokens/{ref}", "Revoke an API token", a.deleteToken)
}
