use prometheus::{
    TextEncoder,
    proto::{Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType},
};

use crate::figures::Distribution;

/// Names and values of labels, of one sample.
pub(super) type Labels = Vec<(&'static str, String)>;

/// Figures on their way into Prometheus' text format (version 0.0.4, which every scraper reads).
#[derive(Debug, Default)]
pub(super) struct Exposition(Vec<MetricFamily>);

impl Exposition {
    /// Adds a figure that only grows; its name ends in `_total`. Without a sample it is left out.
    pub(super) fn counter(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (Labels, f64)>,
    ) {
        self.family(name, help, MetricType::COUNTER, samples, |metric, value| {
            let mut counter = Counter::default();
            counter.set_value(value);
            metric.set_counter(counter);
        });
    }

    /// Adds a figure that goes up and down.
    pub(super) fn gauge(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (Labels, f64)>,
    ) {
        self.family(name, help, MetricType::GAUGE, samples, |metric, value| {
            let mut gauge = Gauge::default();
            gauge.set_value(value);
            metric.set_gauge(gauge);
        });
    }

    /// Adds times; the name ends in `_seconds`.
    pub(super) fn histogram(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (Labels, Distribution)>,
    ) {
        self.family(
            name,
            help,
            MetricType::HISTOGRAM,
            samples,
            |metric, times| {
                let mut histogram = Histogram::default();
                histogram.set_sample_count(times.count);
                histogram.set_sample_sum(times.seconds);
                let buckets = times.within.into_iter().map(|(bound, kept)| {
                    let mut bucket = Bucket::default();
                    bucket.set_upper_bound(bound);
                    bucket.set_cumulative_count(kept);
                    bucket
                });
                histogram.set_bucket(buckets.collect());
                metric.set_histogram(histogram);
            },
        );
    }

    fn family<T>(
        &mut self,
        name: &str,
        help: &str,
        kind: MetricType,
        samples: impl IntoIterator<Item = (Labels, T)>,
        set: impl Fn(&mut Metric, T),
    ) {
        let metrics: Vec<_> = samples
            .into_iter()
            .map(|(labels, value)| {
                let mut metric = Metric::from_label(labels.into_iter().map(pair).collect());
                set(&mut metric, value);
                metric
            })
            .collect();
        if metrics.is_empty() {
            return;
        }
        let mut family = MetricFamily::default();
        family.set_name(name.to_owned());
        family.set_help(help.to_owned());
        family.set_field_type(kind);
        family.set_metric(metrics);
        self.0.push(family);
    }

    /// The text.
    pub(super) fn text(&self) -> prometheus::Result<String> {
        TextEncoder::new().encode_to_string(&self.0)
    }

    #[cfg(test)]
    pub(super) fn families(&self) -> &[MetricFamily] {
        &self.0
    }
}

fn pair((name, value): (&'static str, String)) -> LabelPair {
    let mut pair = LabelPair::default();
    pair.set_name(name.to_owned());
    pair.set_value(value);
    pair
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_strangers_is_escaped() {
        let mut exposition = Exposition::default();
        let labels = vec![("name", "a\"b\\c\nd".to_owned())];
        exposition.gauge("picam_x", "Help.", [(labels, 1.0)]);
        let text = exposition.text().unwrap();
        assert!(text.contains(r#"picam_x{name="a\"b\\c\nd"} 1"#), "{text}");
    }

    #[test]
    fn a_histogram_counts_what_is_above_its_last_bound() {
        let mut exposition = Exposition::default();
        let times = Distribution {
            count: 3,
            seconds: 1.5,
            within: vec![(0.000005, 1), (0.1, 2)],
        };
        exposition.histogram("picam_x_seconds", "Help.", [(vec![], times)]);
        let expected = "# HELP picam_x_seconds Help.\n# TYPE picam_x_seconds histogram\n\
                        picam_x_seconds_bucket{le=\"0.000005\"} 1\npicam_x_seconds_bucket{le=\"0.1\"} 2\n\
                        picam_x_seconds_bucket{le=\"+Inf\"} 3\npicam_x_seconds_sum 1.5\npicam_x_seconds_count 3\n";
        assert_eq!(exposition.text().unwrap(), expected);
    }

    #[test]
    fn what_has_no_sample_is_left_out() {
        let mut exposition = Exposition::default();
        exposition.counter("picam_x_total", "Help.", []);
        assert_eq!(exposition.text().unwrap(), "");
    }
}
