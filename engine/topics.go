package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/odradek/odradek/internal/config"
	"github.com/odradek/odradek/internal/kafka"
	"github.com/odradek/odradek/topology"
)

func topicsCommand(cfg Config) *cobra.Command {
	topics := &cobra.Command{
		Use:   "topics",
		Short: "Plan, create and check the topics of a deployment",
		Long: `The topics of a deployment follow from its namespace, its number of partitions and
the services that the compiled-in workflow types use. Creation needs CREATE,
ALTER_CONFIGS and DESCRIBE_CONFIGS on topics with the namespace's prefix.`,
	}
	for _, c := range []*cobra.Command{
		{
			Use: "plan", Short: "Show every topic with its settings, and change nothing",
			Example: "  engine topics plan --bootstrap-servers broker:9092",
			RunE: topicsRun(cfg, func(_ context.Context, _ *kafka.Client, d topology.Deployment, out io.Writer) error {
				for _, s := range d.Plan() {
					fmt.Fprintf(out, "%s  partitions=%d replication=%d\n", s.Name, s.Partitions, d.ReplicationFactor)
					for _, k := range slices.Sorted(maps.Keys(s.Configs)) {
						fmt.Fprintf(out, "    %s=%s\n", k, s.Configs[k])
					}
				}
				return nil
			}),
		},
		{
			Use: "create", Short: "Create the topics that are missing",
			Example: "  engine topics create --bootstrap-servers broker:9092 --topics-partitions 24",
			RunE: topicsRun(cfg, func(ctx context.Context, cl *kafka.Client, d topology.Deployment, out io.Writer) error {
				created, err := kafka.CreateTopics(ctx, cl, d)
				for _, name := range created {
					fmt.Fprintln(out, "created", name)
				}
				if err == nil && len(created) == 0 {
					fmt.Fprintln(out, "all topics are there")
				}
				return unavailableIf(err)
			}),
		},
		{
			Use: "check", Short: "Compare the topics with the plan and name each difference with its fix",
			Example: "  engine topics check --bootstrap-servers broker:9092",
			RunE: topicsRun(cfg, func(ctx context.Context, cl *kafka.Client, d topology.Deployment, out io.Writer) error {
				c, err := kafka.CheckTopics(ctx, cl, d)
				for _, f := range c.Findings {
					fmt.Fprintln(out, f)
				}
				if err != nil {
					return unavailable(err)
				}
				if n := len(c.Fatal()); n > 0 {
					return unavailable(fmt.Errorf("%d topics or settings are wrong", n))
				}
				fmt.Fprintln(out, "the topics are as planned")
				return nil
			}),
		},
	} {
		c.Args = cobra.NoArgs
		config.Flags(c.Flags())
		topics.AddCommand(c)
	}
	topics.AddCommand(topicsTasksCommand(cfg))
	return topics
}

// topicsTasksCommand sets how many task partitions of a service are active.
func topicsTasksCommand(cfg Config) *cobra.Command {
	var reason, by string
	cmd := &cobra.Command{
		Use: "tasks SERVICE PARTITIONS", Short: "Set how many task partitions of a service get new tasks",
		Long: `A limit of a service is divided over its task partitions, and each needs a share of
it: the limit cannot be below their number. Kafka cannot take partitions from a topic,
so this leaves some out: the first PARTITIONS get new tasks and carry the limits, the
others drain. Engines and workers follow within two minutes; until then nobody uses
more of a limit than before. The number can be raised again up to the topic's.`,
		Example: "  engine topics tasks payment 2 --reason 'the API allows two calls' --bootstrap-servers broker:9092",
		Args:    cobra.ExactArgs(2),
	}
	config.Flags(cmd.Flags())
	cmd.Flags().StringVar(&reason, "reason", "", "why, for people")
	cmd.Flags().StringVar(&by, "by", os.Getenv("USER"), "who, for people")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		n, err := strconv.ParseInt(args[1], 10, 32)
		if err != nil {
			return usage(fmt.Errorf("%q is not a number of partitions", args[1]))
		}
		return topicsRun(cfg, func(ctx context.Context, cl *kafka.Client, d topology.Deployment, out io.Writer) error {
			return setActive(ctx, cl, d, args[0], topology.Active{Partitions: int32(n), By: by, Reason: reason}, out)
		})(cmd, nil)
	}
	return cmd
}

// setActive writes the row of a service, if the topic allows the number.
func setActive(ctx context.Context, cl *kafka.Client, d topology.Deployment, service string, a topology.Active, out io.Writer) error {
	if _, ok := d.Services[service]; !ok {
		return usage(fmt.Errorf("no workflow type of this binary uses service %q; it uses %s", service, serviceNames(d.Services)))
	}
	c, err := kafka.CheckTopics(ctx, cl, d)
	if err != nil {
		return unavailable(err)
	}
	m, ok := c.Services[service]
	switch {
	case !ok:
		return unavailable(fmt.Errorf("the topic %s is missing: create it with `engine topics create`", d.Tasks(service)))
	case a.Partitions < 1 || a.Partitions > m:
		return usage(fmt.Errorf("%d task partitions of service %s: allowed are 1 to %d, those of its topic", a.Partitions, service, m))
	}
	last := c.Control.Active[service]
	a.Before, a.At = last.Of(m), time.Now().UTC().Truncate(time.Millisecond)
	if a.Before == a.Partitions {
		fmt.Fprintf(out, "%d of %d task partitions of service %s are active already\n", a.Partitions, m, service)
		return nil
	}
	if settled := last.At.Add(topology.ActiveSettles); a.At.Before(settled) { // a worker knows two numbers, not three
		return unavailable(fmt.Errorf("the change of service %s to %d active task partitions at %s is getting about: try again after %s",
			service, last.Partitions, last.At.Format(time.RFC3339), settled.Format(time.RFC3339)))
	}
	if err := kafka.WriteActive(ctx, cl, d.Names, service, a); err != nil {
		return unavailable(err)
	}
	fmt.Fprintf(out, "%d of %d task partitions of service %s are active, before it were %d; engines and workers follow within %s\n", a.Partitions, m, service, a.Before, topology.ActiveSettles)
	return nil
}

func unavailableIf(err error) error {
	if err == nil {
		return nil
	}
	return unavailable(err)
}

// topicsRun loads the configuration, connects, and makes the deployment.
func topicsRun(cfg Config, do func(context.Context, *kafka.Client, topology.Deployment, io.Writer) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, _ []string) error {
		ctx := cmd.Context()
		s, err := load(cmd)
		if err != nil {
			return err
		}
		cl, err := connect(cmd.ErrOrStderr(), s)
		if err != nil {
			return err
		}
		defer cl.Close()
		d, err := deployment(ctx, cl, cfg, s)
		if err != nil {
			return err
		}
		return do(ctx, cl, d, cmd.OutOrStdout())
	}
}

// connect makes the client of a command.
func connect(stderr io.Writer, s config.Engine) (*kafka.Client, error) {
	opts, warnings, err := kafka.Connect(s.Kafka, "odradek-engine")
	if err != nil {
		return nil, usage(err)
	}
	for _, w := range warnings {
		fmt.Fprintln(stderr, "warning:", w)
	}
	cl, err := kafka.NewClient(opts...)
	if err != nil {
		return nil, usage(err)
	}
	return cl, nil
}

// deployment is what the configuration and the compiled-in types ask for. N is the
// slot table's where there is one.
func deployment(ctx context.Context, cl *kafka.Client, cfg Config, s config.Engine) (topology.Deployment, error) {
	brokers, _, err := kafka.Brokers(ctx, cl)
	if err != nil {
		return topology.Deployment{}, unreached(s, err)
	}
	names := topology.Names{Namespace: s.Namespace}
	n := s.Topics.Partitions
	if t, err := kafka.ReadTable(ctx, cl, names); err == nil {
		n = t.Partitions
	} else if !errors.Is(err, kafka.ErrNoControl) && !kafka.IsMissing(err) {
		return topology.Deployment{}, unavailable(err)
	}
	services, err := cfg.services(n, s.Topics.Services)
	if err != nil {
		return topology.Deployment{}, usage(err)
	}
	factor, inSync := kafka.Replication(len(brokers))
	if s.Topics.ReplicationFactor > 0 {
		factor = s.Topics.ReplicationFactor
		inSync = min(inSync, int(factor))
	}
	d := topology.Deployment{
		Names: names, Partitions: n, ReplicationFactor: factor, MinInsyncReplicas: inSync, Services: services, CanPurge: s.Topics.CanPurge,
	}
	if err := d.Validate(); err != nil {
		return d, usage(err)
	}
	return d, nil
}
