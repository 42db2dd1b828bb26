"""What a site installs, from source: the image, the chart and the collection's artifact, all in build/out/."""
