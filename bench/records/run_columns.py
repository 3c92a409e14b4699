"""The data dictionary of runs.csv: every column, with unit and meaning."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Attributes:
        name: Its name in the CSV.
        type: string, integer, number, boolean or datetime, in the sense of a Table Schema.
        unit: nats, bits/dim, or empty.
        meaning: What it is, and by which estimator.
        bound: Relation of the number to the true value: lower or upper bound, estimate, or exact.
        source: The source of the definition.
    """

    name: str
    type: str
    unit: str
    meaning: str
    bound: str = ""
    source: str = ""


HOFFMAN = "Hoffman & Johnson 2016, ELBO surgery"
BURDA = "Burda et al. 2016, Importance weighted autoencoders"
VEHTARI = "Vehtari et al. 2024, Pareto smoothed importance sampling"
HSU = (
    "Hsu 1984, Constrained simultaneous confidence intervals; Hsu 1996, Multiple comparisons, ch. 4"
)
MOHAMAD = "Al Mohamad, Goeman & van Zwet 2022, Simultaneous confidence intervals for ranks"
EFRON = "Efron & Stein 1981, The jackknife estimate of variance"

# Columns that identify a row of runs.csv.
RUN = (
    Column(
        "key", "string", "", "The run: 16 hexadecimal digits of the SHA-256 of its configuration"
    ),
    Column("sweep", "string", "", "The matrix that the run belongs to, configs/sweep/<sweep>.yaml"),
    Column(
        "task", "string", "", "Data set, levels, binarization and splits; ranks compare inside one"
    ),
    Column("model", "string", "", "Name under configs/model, and options that the matrix varies"),
    Column("decoder", "string", "", "The likelihood p(y|z)"),
    Column("prior", "string", "", "The prior p(z)"),
    Column(
        "seed",
        "integer",
        "",
        "Initialisation, data order, training and evaluation noise derive from it",
    ),
    Column("split", "string", "", "train or test"),
    Column("status", "string", "", "ok, or failed: a failed run stays, with empty numbers"),
    Column("dimensions", "integer", "", "D, the number of pixels and channels"),
    Column("levels", "integer", "", "L, the number of values that a pixel takes"),
    Column("n", "integer", "", "Number of data in the split"),
    Column("parameters", "integer", "", "Number of trained parameters"),
    Column("epochs", "integer", "", "Passes over the training split; iterations where EM trains"),
)
IMPORTANCE_SAMPLES = Column(
    "importance_samples", "integer", "", "K of the bound L_K; 0 where the log-likelihood is exact"
)
IMPORTANCE_DATA = Column("importance_data", "integer", "", "Number of data that L_K was taken over")
BITS_STDERR = Column(
    "bits_per_dim_stderr", "number", "bits/dim",
    "Monte-Carlo standard error of bits_per_dim as an estimate of its own expectation at this K, the "
    "split being given, by the jackknife over the draws; it does not contain the distance of that "
    "expectation from the truth. Empty where it cannot be known: K is below 50, or too few data "
    "with heavy-tailed weights make most of it. In rows without effective_sample_size_median, which are "
    "older, it is the delta method's, which is too small where a few weights carry the sum",
    "estimate", EFRON,
)  # fmt: skip
BOUND_RISE_STDERR = Column(
    "bound_rise_stderr", "number", "nats", "Standard error of bound_rise as a mean over the data",
    "estimate",
)  # fmt: skip
POPULATION_STDERR = Column(
    "log_likelihood_population_stderr", "number", "nats",
    "Standard error of log_likelihood as an estimate for the population that the split's images are a "
    "sample of: the spread of the images' own log-likelihoods over √importance_data. It contains the "
    "Monte-Carlo error, and neither the spread over seeds contains it nor it that. All models of a task "
    "see the same images, so that it says nothing of their differences. Empty in older rows and where "
    "the run did not record it",
    "estimate",
)  # fmt: skip
# Every estimate, in the order of the tables.
ESTIMATES = (
    Column(
        "bits_per_dim", "number", "bits/dim",
        "−log_likelihood / (D ln 2), of the discrete image", "upper, or exact",
    ),
    Column(
        "log_likelihood", "number", "nats",
        "Importance-weighted bound L_K = E log 1/K Σ p(y|z_k) p(z_k) / q(z_k|y), over the first "
        "importance_data data", "lower, or exact", f"{BURDA}, eq. 8",
    ),
    Column(
        "elbo", "number", "nats", "reconstruction − kl", "lower",
        "Kingma & Welling 2014, Auto-encoding variational Bayes",
    ),
    Column(
        "reconstruction", "number", "nats",
        "Mean of log p(y|z), z ~ q(z|y), with the dequantization constant; of a flow log |det|",
        "estimate",
    ),
    Column(
        "kl", "number", "nats",
        "Mean of log q(z|y) − log p(z) on the same samples = mutual_information + marginal_kl; its "
        "error may take the estimate below 0",
        "estimate", HOFFMAN,
    ),
    Column(
        "kl_analytic", "number", "nats",
        "KL(q(z|y) ‖ p(z)) in closed form, where there is one", "exact",
    ),
    Column(
        "mutual_information", "number", "nats",
        "Mean of log q(z|y) − log q_agg(z), q_agg over all n data of the split; in [0, log n], but "
        "its error may take the estimate below 0",
        "estimate", HOFFMAN,
    ),
    Column(
        "marginal_kl", "number", "nats",
        "Mean of log q_agg(z) − log p(z); its error may take the estimate below 0", "estimate",
        HOFFMAN,
    ),
    Column("log_n", "number", "nats", "log n: the ceiling of mutual_information", "exact"),
    Column(
        "inference_gap", "number", "nats",
        "log_likelihood − ELBO on the same data: KL(q(z|y) ‖ p(z|y)) and the dequantization gap, "
        "from below", "lower",
    ),
    Column(
        "active_units", "number", "",
        "Number of latent dimensions with Var_y(E_q[z]) > 0.01", "exact", f"{BURDA}, section 5",
    ),
    Column(
        "sharpness", "number", "",
        "Variance of the Laplacian of generated images over that of test images; empty where those "
        "have no edges or are smaller than 3 × 3", "estimate",
    ),
    Column(
        "elbo_aggregate", "number", "nats",
        "The ELBO when, after training, the prior is swapped for q_agg of the training split",
        "lower", HOFFMAN,
    ),
    Column(
        "marginal_kl_aggregate", "number", "nats",
        "KL(q_agg of this split ‖ q_agg of the training split), the marginal KL of that swap",
        "estimate", HOFFMAN,
    ),
    Column(
        "sharpness_aggregate", "number", "",
        "sharpness of images decoded from q_agg of the training split", "estimate",
    ),
    Column(
        "sharpness_reconstruction", "number", "", "sharpness of reconstructions", "estimate",
    ),
    Column(
        "effective_sample_size_median", "number", "",
        "Median over data of (Σ w)² / Σ w² of the K importance weights, between 1 and K; larger is "
        "better: near 1 one draw is the whole sum, and L_K may be far below log P(y)", "estimate",
        "Kong 1992, A note on importance sampling using standardized weights",
    ),
    Column(
        "effective_sample_size_below_10", "number", "",
        "Share of the data whose effective sample size is below 10; smaller is better", "estimate",
    ),
    Column(
        "pareto_k_above_threshold", "number", "",
        "Share of the data whose weights have a tail too heavy for K draws: k̂ of a generalized Pareto "
        "distribution, fitted to the min(K/5, 3 √K) largest, is above min(1 − 1/log₁₀ K, 0.7); smaller "
        "is better; empty for K below 21", "estimate", VEHTARI,
    ),
    Column(
        "bound_rise", "number", "nats",
        "L_K less the mean of L_{K/2} of the two halves of the same draws, never below 0; smaller is "
        "better: where it is large, more draws raise the bound further", "estimate", BURDA,
    ),
)  # fmt: skip
# Errors that stand behind the estimates.
ERRORS = (BOUND_RISE_STDERR, POPULATION_STDERR)
# The diagnostics of L_K, which rows made before version 2 of the columns lack.
DIAGNOSTICS = tuple(column.name for column in ESTIMATES[-4:])
PROVENANCE = (
    Column(
        "beta", "number", "", "Weight of the KL in training; every reported number has weight 1"
    ),
    IMPORTANCE_DATA,
    Column("payload_sha256", "string", "", "Hash of the decompressed payloads and of the splits"),
    Column("commit", "string", "", "The commit of this code that made the row"),
    Column(
        "data_sha256", "string", "",
        "Hash of the images of all splits as the model sees them, binarization included; in older rows, "
        "where it equals payload_sha256 or that is empty, of payloads and splits alone",
    ),
    Column("config_sha256", "string", "", "The key again, which is a hash of the configuration"),
    Column(
        "dirty", "boolean", "",
        "True: the code that made the row was not that of the commit, and nobody else has it; empty: "
        "not known",
    ),
    Column(
        "device", "string", "",
        "What the row was computed on: cpu, or the GPU's name; numbers of two devices agree up to "
        "rounding; empty: not known",
    ),
    Column(
        "plugin", "string", "",
        "Code from outside that parts of the model come from: name, version, and SHA-256 of the source "
        "without docstrings and comments; empty: every part is of this code",
    ),
)  # fmt: skip
