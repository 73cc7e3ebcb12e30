"""Evidence of ``ssb-random-labels``: accuracy on random training labels, and on test images as its control."""

from symbreak.claims.accuracy import accuracy_units
from symbreak.claims.evidence import Unit
from symbreak.claims.tables import Tables


def train_accuracy_cifar10(tables: Tables) -> list[Unit]:
    """Accuracy on the random labels that CIFAR-10 networks were trained on."""
    return accuracy_units(tables, "cifar10_random", "train")


def test_accuracy_cifar10(tables: Tables) -> list[Unit]:
    """Accuracy of the same networks on test images, about which random labels say nothing."""
    return accuracy_units(tables, "cifar10_random", "test")


def train_accuracy_fashion_mnist(tables: Tables) -> list[Unit]:
    """Accuracy on the random labels that Fashion-MNIST networks were trained on."""
    return accuracy_units(tables, "fashion_mnist_random", "train")


def test_accuracy_fashion_mnist(tables: Tables) -> list[Unit]:
    """Accuracy of the same networks on test images, about which random labels say nothing."""
    return accuracy_units(tables, "fashion_mnist_random", "test")
