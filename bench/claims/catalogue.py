"""The lecture's claims, in its words, and the experiment for each."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Claim:
    """A claim of the lecture.

    Attributes:
        number: 1 to 14.
        title: A few words.
        statement: The claim in words.
        formulas: The claim in LaTeX.
        experiment: How it is measured here.
        source: Section of the lecture; paper.
    """

    number: int
    title: str
    statement: str
    formulas: tuple[str, ...]
    experiment: str
    source: str


LECTURE = "lecture 5"
ALL = (
    Claim(
        1,
        "Decomposition of the evidence",
        "For any q(z) the log-evidence is the evidence lower bound plus the divergence of q from "
        "the true posterior.",
        (
            r"\log p(x \mid \theta) = \mathcal{L}(q, \theta) + "
            r"\mathrm{KL}\left(q(z) \,\|\, p(z \mid x, \theta)\right)",
            r"\mathcal{L}(q, \theta) = \mathbb{E}_{q} \log p(x \mid z, \theta) - "
            r"\mathrm{KL}\left(q(z) \,\|\, p(z)\right)",
        ),
        "Exact on a linear-Gaussian model fitted to the task's images: q is its posterior shifted "
        "and stretched, the bound and the divergence are closed forms, the evidence comes from the "
        "full covariance of x, each by a formula of its own in float64. For trained VAEs the true "
        "posterior is unknown: there L_K − ELBO bounds the divergence from below, and must not be "
        "negative.",
        f"{LECTURE}, evidence lower bound; Kingma & Welling 2014, eq. 1",
    ),
    Claim(
        2,
        "Importance weighting tightens the bound",
        "The importance-weighted bound lies between the ELBO and the log-evidence, and grows with "
        "its number of samples.",
        (
            r"\mathcal{L}_1 = \mathrm{ELBO} \le \mathcal{L}_K \le \mathcal{L}_{K'} \le "
            r"\log p(x), \quad K < K'",
            r"\mathcal{L}_K = \mathbb{E} \log \frac{1}{K} \sum_{k=1}^{K} "
            r"\frac{p(x \mid z_k)\, p(z_k)}{q(z_k \mid x)}",
        ),
        "L_1, L_10, L_100 and L_1000 of trained models on the first test images. Each K draws noise "
        "of its own: with one noise for all, Jensen's inequality would make every sample agree, "
        "whatever the model did.",
        f"{LECTURE}, evidence lower bound; Burda et al. 2016, theorem 1",
    ),
    Claim(
        3,
        "Two estimators of one evidence",
        "Naive Monte-Carlo with draws from the prior and importance weighting with draws from q "
        "estimate the same evidence; the first needs far more samples.",
        (
            r"p(x) = \mathbb{E}_{p(z)}\, p(x \mid z) \approx \frac{1}{K} \sum_{k=1}^{K} "
            r"p(x \mid z_k), \quad z_k \sim p(z)",
        ),
        "On a linear-Gaussian model with two latent dimensions the mean of each estimate over the "
        "closed-form evidence must be 1, and the variances stand side by side. On trained VAEs with "
        "two latent dimensions the two are held against each other with 10,000 draws each.",
        f"{LECTURE}, naive Monte-Carlo estimation; Burda et al. 2016",
    ),
    Claim(
        4,
        "EM climbs to maximum likelihood",
        "The E-step closes the gap between bound and evidence, the M-step never lowers the "
        "evidence, and the fixed point is the maximum-likelihood solution.",
        (
            r"\text{E: } q^{*} = \underset{q}{\mathrm{arg\,max}}\; \mathcal{L}(q, \theta) = p(z \mid x, \theta)",
            r"\text{M: } \theta^{*} = \underset{\theta}{\mathrm{arg\,max}}\; \mathcal{L}(q^{*}, \theta)",
        ),
        "EM with exact half-steps in float64 on the task's training images, dequantized once: on "
        "the linear-Gaussian model, whose maximum has a closed form, and on a mixture of diagonal "
        "normals. The bound (computed from q) and the evidence (computed without it) are recorded "
        "after every half-step.",
        f"{LECTURE}, EM algorithm; Dempster et al. 1977; Tipping & Bishop 1999, eq. 15 and appendix B",
    ),
    Claim(
        5,
        "Variational Bayes by turns, or at once",
        "Alternating E- and M-steps of gradient descent and joint gradient steps on both maximize "
        "one bound.",
        (
            r"\phi \leftarrow \phi + \eta \nabla_{\phi} \mathcal{L}(\phi, \theta), \quad "
            r"\theta \leftarrow \theta + \eta \nabla_{\theta} \mathcal{L}(\phi, \theta)",
        ),
        "A Bernoulli VAE trained jointly, and with phases in which only the encoder or only the "
        "decoder moves: of one step each, and of an epoch each; at equal gradient steps, and with "
        "twice as many, which are equal updates of each half. No early stopping, constant step "
        "size.",
        f"{LECTURE}, variational Bayes and amortized inference; Neal & Hinton 1998",
    ),
    Claim(
        6,
        "Uniform dequantization is a lower bound",
        "A continuous model of uniformly dequantized data bounds the discrete log-likelihood of "
        "its integral over bins from below; learned noise and importance weighting make the gap "
        "smaller.",
        (
            r"\mathbb{E}_{u \sim U[0,1)^D} \log p(y + u) \le "
            r"\log \int_{[0,1)^D} p(y + u)\, du = \log P(y)",
        ),
        "Flows: L_K over u with K up to 1000 against the bound (K = 1), for uniform noise and for "
        "variational dequantization. Gaussian decoders: at one z an image, the bound against the "
        "exact integral, pixel by pixel from the normal's distribution function.",
        f"{LECTURE}, discrete data and dequantization; Theis et al. 2016, eq. 3; Ho et al. 2019",
    ),
    Claim(
        7,
        "Without dequantization a density degenerates",
        "A density fitted to bare integers may put infinite density on them: its 'bits/dim' fall "
        "without bound as training goes on, and mean nothing.",
        (r"P(y) \le 1 \;\Rightarrow\; -\log_2 P(y) \ge 0, \quad \text{but } p(y) \to \infty",),
        "A Gaussian VAE and a RealNVP trained on the middles of bins, without noise, beside twins "
        "trained with it. Below 0 bits/dim no probability mass function can go. (The Gaussian's "
        "standard deviation is kept above a tenth of 1/256, so that the fall ends somewhere.) It is "
        "the training images that a density can sit on; what becomes of test images is measured "
        "beside it. These runs never enter a leaderboard.",
        f"{LECTURE}, discrete data and dequantization; Theis et al. 2016, section 3.1",
    ),
    Claim(
        8,
        "What a discrete model knows of unseen levels",
        "A categorical model treats levels as unrelated labels and gives almost no mass to those "
        "it has not seen; a continuous one knows that numbers have neighbours.",
        (
            r"P_{\text{cat}}(y = \ell \mid z) = \mathrm{softmax}(h(z))_{\ell} \approx 0",
            r"P_{\text{cont}}(y = \ell \mid z) = \int_{\ell}^{\ell + 1} p(x \mid z)\, dx > 0",
        ),
        "Levels are left out of the training images (such pixels go one level up or down), and the "
        "mass that decoders give to them on test images is compared with their share there. For "
        "RealNVP: their share among pixels of samples.",
        f"{LECTURE}, discretized and dequantized models; Salimans et al. 2017",
    ),
    Claim(
        9,
        "The flow is a VAE without a gap",
        "A normalizing flow is a VAE with a deterministic encoder and decoder: its bound is its "
        "log-likelihood.",
        (
            r"q(z \mid x) = \delta(z - f(x)), \quad p(x \mid z) = \delta(x - f^{-1}(z))",
            r"\mathrm{KL}\left(q(z \mid x) \,\|\, p(z \mid x)\right) = 0",
            r"\log p(x) = \log p(f(x)) + \log \left| \det \frac{\partial f}{\partial x} \right|",
        ),
        "RealNVP's terms against the change of variables with a Jacobian by automatic "
        "differentiation in float64, and how far decoding undoes encoding.",
        f"{LECTURE}, flows as VAEs; Dinh et al. 2017; Nielsen et al. 2020",
    ),
    Claim(
        10,
        "ELBO surgery",
        "The mean KL of the ELBO is the mutual information of data and latent, which is at most "
        "log n, plus the divergence of the aggregated posterior from the prior.",
        (
            r"\frac{1}{n} \sum_{i=1}^{n} \mathrm{KL}\left(q(z \mid x_i) \,\|\, p(z)\right) = "
            r"\mathrm{KL}\left(q_{\text{agg}}(z) \,\|\, p(z)\right) + \mathbb{I}_q[x, z]",
            r"q_{\text{agg}}(z) = \frac{1}{n} \sum_{i=1}^{n} q(z \mid x_i), \quad "
            r"0 \le \mathbb{I}_q[x, z] \le \log n",
        ),
        "Every VAE on its whole training and test split, the aggregated posterior exactly, over "
        "all n data. Besides the identity of the estimates, which share their samples, the closed "
        "form of the KL, which has none, is held against their sum.",
        f"{LECTURE}, ELBO surgery; Hoffman & Johnson 2016",
    ),
    Claim(
        11,
        "The aggregated posterior is the optimal prior",
        "Of all priors the aggregated posterior maximizes the mean ELBO: put in the place of the "
        "old prior it raises it by the marginal KL.",
        (
            r"p^{*}(z) = \underset{p}{\mathrm{arg\,max}}\; \frac{1}{n} \sum_{i=1}^{n} \mathcal{L}_i(p) = "
            r"\frac{1}{n} \sum_{i=1}^{n} q(z \mid x_i)",
        ),
        "The prior of every trained VAE is replaced by q_agg of the training split and its ELBO is "
        "measured again with the same noise. That is a theorem on the training split; what the swap "
        "does on test images is measured too, against the number of exemplars in q_agg, and on "
        "training images with their own posterior taken out.",
        f"{LECTURE}, aggregated posterior as the optimal prior; Hoffman & Johnson 2016; "
        "Tomczak & Welling 2018",
    ),
    Claim(
        12,
        "Mismatch and blur",
        "The mismatch of prior and aggregated posterior is widely believed to be the main reason "
        "of blurry images of VAEs.",
        (
            r"\mathrm{KL}\left(q_{\text{agg}}(z) \,\|\, p(z)\right) \gg 0 \;\Rightarrow\; \text{blur?}",
        ),
        "Over VAEs with many latent sizes, β, priors and decoders: the marginal KL against the "
        "sharpness (variance of the Laplacian, relative to data's) of decoded samples from the "
        "prior, of decoded samples from q_agg, which have no mismatch, and of reconstructions, "
        "which show the decoder at its best. Spearman's ρ with a bootstrap over models. If mismatch "
        "were the cause, reconstructions and q_agg samples would be sharp and prior samples not.",
        f"{LECTURE}, blurry samples; Hoffman & Johnson 2016; Pech-Pacheco et al. 2000",
    ),
    Claim(
        13,
        "A unimodal posterior leaves a gap",
        "The encoder's q(z|x) is a unimodal distribution, here a diagonal normal, and the true posterior "
        "is not: even the best q leaves a gap, which a richer family closes.",
        (
            r"\log p(x) - \mathcal{L}(q) = \text{approximation} + \text{amortization gap}",
            r"\text{approximation gap} = \log p(x) - \mathcal{L}(q^{*})",
            r"\text{amortization gap} = \mathcal{L}(q^{*}) - \mathcal{L}(q)",
            r"q^{*} = \underset{q \in \mathcal{Q}}{\mathrm{arg\,max}}\; \mathcal{L}(q) "
            r"\quad \text{for each } x",
        ),
        "VAEs trained with a diagonal normal, a normal with a full covariance and a RealNVP over z given "
        "the image as q, three seeds or more each. For each test image the best member of the family is found by "
        "gradient steps; for the diagonal normal also the best normal with a full covariance. ELBOs are "
        "estimated on other samples than the optimization's, and log p(x) by importance weighting with "
        "draws from the best distribution that was found. Whether a VAE trained with a richer q has the "
        "smaller gap, the larger ELBO and the larger log-likelihood is judged by the paired interval "
        "over seeds.",
        f"{LECTURE}, limits of VAEs; Cremer et al. 2018; Kingma et al. 2016",
    ),
    Claim(
        14,
        "Where a better prior helps",
        "A better prior raises the evidence lower bound, and most of the gain is reconstruction "
        "rather than a smaller KL.",
        (
            r"\Delta \mathcal{L} = \Delta\, \mathbb{E}_{q} \log p(x \mid z) - "
            r"\Delta\, \mathbb{I}_q[x, z] - \Delta\, \mathrm{KL}\left(q_{\text{agg}}(z) \,\|\, p(z)\right)",
        ),
        "One network, trained with each prior and three seeds or more. The ELBO of each prior less "
        "that of the standard normal, seed by seed, is split into its three parts on the whole test "
        "split. Xu et al. report −58.7 to −53.6 nats of reconstruction at an equal KL for a RealNVP "
        "prior on MNIST.",
        f"{LECTURE}, ELBO surgery; Xu et al. 2019; Hoffman & Johnson 2016",
    ),
)
CLAIMS = {claim.number: claim for claim in ALL}
